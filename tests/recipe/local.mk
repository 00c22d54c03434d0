# tests of the recipe room
