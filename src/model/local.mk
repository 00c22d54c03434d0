# the model room
