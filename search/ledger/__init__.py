"""The ledger of a study, and what is written from it for people and other tools."""
