# the data room
