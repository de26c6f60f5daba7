"""Results: one measured cell with its provenance, and how cells become tables and plots."""
