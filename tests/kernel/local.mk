# tests of the kernel room
