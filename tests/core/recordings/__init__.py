"""Tests of core/recordings/."""
