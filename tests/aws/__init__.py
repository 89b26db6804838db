"""Tests of aws/."""
