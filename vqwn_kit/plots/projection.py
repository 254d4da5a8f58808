"""Vectors -> points of a plane: PCA and UMAP."""

import numpy as np


def project_2d(vectors: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Project (M, D) to (M, 2) by `pca` or `umap`; fewer than 5 rows always by PCA."""
    if method == "umap" and len(vectors) >= 5:
        from umap import UMAP

        neighbours = min(15, len(vectors) - 1)
        start = "spectral" if len(vectors) > 15 else "random"
        mapper = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1, init=start)
        return mapper.fit_transform(vectors)
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2))
    from sklearn.decomposition import PCA

    flat = PCA(min(2, *vectors.shape)).fit_transform(vectors)
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
