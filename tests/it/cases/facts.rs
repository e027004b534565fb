//! Cases from the world: what public bug reports found wrong, each with its whole kind; numbers are those of the list that `tests/it/cases/README.md` tells of.
