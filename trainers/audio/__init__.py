"""From waveforms to augmented log-mel views, in torch, on the waveforms' own device."""
