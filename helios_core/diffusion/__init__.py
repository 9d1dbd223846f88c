"""How a chunk is denoised: recipe, noise levels, solvers, noise, guidance."""
