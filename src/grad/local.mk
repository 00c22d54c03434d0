# the grad room
