from tipcap.io.image_records import ImageRecord


def test_a_record_needs_neither_addresses_nor_a_published_split():
    record = ImageRecord(1, None, None, "train", None, ["A cat."])
    assert (record.urls, record.published_split) == ((), "")
