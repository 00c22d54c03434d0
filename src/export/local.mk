# the export room
