//! Making and checking disk images.
