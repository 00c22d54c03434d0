# the text room
