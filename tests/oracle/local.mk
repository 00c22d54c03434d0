# tests of the oracle room
