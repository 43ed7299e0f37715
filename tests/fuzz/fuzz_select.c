/*
 * tests/fuzz/fuzz_select.c - any bytes as a selector.
 *
 * What is refused says where and why; what is accepted can be matched, means the same when its text
 * is read again, and selects only messages of its ids when it names some.
 */
#include "queue/select.h"

#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size), part = span_head(text, 900);
	struct select_error e = { .at = 0 };
	struct select *s = select_parse(text, &e), *again;
	struct route r = { .mailer = ROUTE_ESMTP,
			   .count = 1,
			   .host = { { .family = ADDR_IPV4, .ip = { 192, 0, 2, 1 } } } };
	struct select_row row = { .id = 0x65F1A20301,
				  .sender = part,
				  .rcpt = part,
				  .route = &r,
				  .reply = part,
				  .state = SELECT_HELD,
				  .attempts = 1,
				  .age_usec = 1 };
	const uint64_t *id;
	size_t n;

	if (!s) {
		if (!*e.text || (e.at > size && size <= SELECT_TEXT_MAX))
			panic("refused without a reason or a place");
		return 0;
	}
	bool hit = select_match(s, &row);
	if (hit && select_ids(s, &id, &n)) {
		while (n && id[n - 1] != row.id)
			n--;
		if (!n)
			panic("a match that is not among its ids");
	}
	again = select_parse(select_text(s), &e);
	if (!again || select_match(again, &row) != hit || select_keys(again) != select_keys(s))
		panic("another meaning when read again");
	select_free(again);
	select_free(s);
	return 0;
}
