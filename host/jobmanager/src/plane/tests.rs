//! The plane over real TLS: who gets in, who does not, and what happens to whoever loses his place.
