import pytest
import torch

from trlkit.lab import robustness, sturdy


def test_networks_of_one_seed_share_start_and_batches_and_leave_the_generator_alone():
    torch.manual_seed(5)
    one, other, dropped = (sturdy.trained(3, 2, p) for p in (0.0, 0.0, 0.5))
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    pairs = list(zip(one.parameters(), other.parameters(), dropped.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)
    assert max((a - c).abs().max().item() for a, _, c in pairs) < 0.05  # two steps of 0.01 each


def test_ten_steps_do_more_harm_than_one_and_a_strange_disturbance_is_refused():
    network = sturdy.trained(0, 60)
    shares = [sturdy.disturbed_accuracy(network, name, 0.15) for name in ("noise", "fgsm", "pgd")]
    assert shares == sorted(shares, reverse=True)
    with pytest.raises(ValueError, match="blur"):
        sturdy.disturbed_accuracy(network, "blur", 0.1)


def test_kept_error_is_the_mean_over_all_numbers_of_kept_samples():
    wrong = torch.tensor([False, True, False, True, True])
    doubts = torch.tensor([0.1, 0.9, 0.3, 0.5, 0.4])
    order = sorted(range(5), key=lambda k: doubts[k])
    shares = [sum(wrong[k].item() for k in order[:kept]) / kept for kept in range(1, 6)]
    assert robustness.kept_error(doubts, wrong) == pytest.approx(sum(shares) / 5)
