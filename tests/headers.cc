// Stands for the precompiled headers of the tests, which a target has to have.
