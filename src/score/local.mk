# the score room
