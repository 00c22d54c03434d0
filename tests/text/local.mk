# tests of the text room
