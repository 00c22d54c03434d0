# the file room
