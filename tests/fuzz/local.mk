# tests of the fuzz room
