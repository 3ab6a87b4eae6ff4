from tipcap.config.advice import schedule_warnings


def said(captions=1000, epochs=2, batch=100, rate=1e-3, warmup=19):
    return [*schedule_warnings(captions, epochs, batch, rate, warmup)]


def test_a_usual_schedule_is_not_spoken_of():
    assert said() == said(warmup=0) == said(batch=1000, warmup=1) == []


def test_a_warm_up_as_long_as_the_training_is_named():
    (line,) = said(warmup=20)
    assert "fewer than the 20 updates" in line
    assert "found 20" in line
    assert "never reaches 0.001" in line


def test_a_batch_larger_than_the_corpus_is_named():
    (line,) = said(captions=40, warmup=1)
    assert "at most the 40 captions" in line
    assert "found 100" in line
