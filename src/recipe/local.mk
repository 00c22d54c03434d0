# the recipe room
