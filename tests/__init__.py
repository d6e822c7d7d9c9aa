"""Tests for timetracer: real servers, real libraries."""
