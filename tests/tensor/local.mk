# tests of the tensor room
