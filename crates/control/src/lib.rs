//! Where configuration comes from and goes: files, standard input, state; publishes a new World.
