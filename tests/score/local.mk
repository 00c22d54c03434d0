# tests of the score room
