#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/conf_state.h"

const char *conf_host_name(struct conf_report *r)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_CANONNAME };
	struct addrinfo *list;
	char name[256] = "";

	if (gethostname(name, sizeof name - 1) || !*name)
		return "localhost";
	if (!strchr(name, '.') && !getaddrinfo(name, NULL, &hints, &list)) {
		if (list->ai_canonname && strchr(list->ai_canonname, '.') &&
		    strlen(list->ai_canonname) < sizeof name)
			strcpy(name, list->ai_canonname);
		freeaddrinfo(list);
	}
	return conf_report_printf(r, "%s", name);
}
