"""The audit: looks for recordings that are lost and objects that are left behind."""
