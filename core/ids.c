#include "core/ids.h"

#include <errno.h>

static char *hex(char *p, uint64_t v, unsigned digits)
{
	while (digits-- > 0)
		*p++ = "0123456789ABCDEF"[(v >> (4 * digits)) & 15];
	return p;
}

size_t id_text(uint64_t id, char *dst)
{
	*dst = 'S';
	char *p = hex(dst + 1, id >> 8, 16);
	p = hex(p, id & 255, 2);
	*p = 0;
	return 19;
}

int id_parse(struct span s, uint64_t *id)
{
	uint64_t v = 0;

	if (s.n != 19 || s.p[0] != 'S' || s.p[1] != '0' || s.p[2] != '0')
		return -EINVAL;
	for (size_t i = 1; i < 19; i++) {
		char c = s.p[i];

		if (ascii_isdigit(c))
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'A' && c <= 'F')
			v = v << 4 | (uint64_t)(c - 'A' + 10);
		else
			return -EINVAL;
	}
	*id = v;
	return 0;
}

size_t id_client_text(uint8_t process, uint32_t counter, uint32_t worker, char *dst)
{
	*dst = 'C';
	char *p = hex(dst + 1, process, 2);
	p = hex(p, counter, 8);
	p = hex(p, worker, 8);
	*p = 0;
	return 19;
}
