//! EMTR allocation traces.
