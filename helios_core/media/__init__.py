"""Frames in and out: pictures, videos, latents, and what can be measured of them."""
