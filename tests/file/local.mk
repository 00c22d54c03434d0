# tests of the file room
