//! The hourly-attributor function.
