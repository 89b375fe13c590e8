import pytest
import torch


@pytest.fixture
def learn():
    """Adam, so many steps down a loss that is computed anew in each."""

    def steps(model, loss, *, lr, count):
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        for _ in range(count):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    return steps
