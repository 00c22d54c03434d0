# tests of the grad room
