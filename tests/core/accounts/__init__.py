"""Tests of core/accounts/."""
