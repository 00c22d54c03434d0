# tests of the data room
