# the kernel room
