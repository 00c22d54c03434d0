# tests of the train room
