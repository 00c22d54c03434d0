# tests of the export room
