/*
 * Boots the miniature kernel and prints what it found, one "name value" a line. What
 * belongs to a component that is not in this kernel is left out.
 */
#include <stdio.h>
#include <stdlib.h>

int rump_init(void);
const char *rump_release(void);
int rump_component_count(int);
int rump_component_inits(void);
int rump_domain_count(void);
int rump_module_count(void);

#define	WEAK __attribute__((weak))
WEAK int rump_send(int, const char *, int);
WEAK int rump_route(int);
WEAK int rump_link_length(void);
WEAK int rump_device_count(void);
WEAK int rump_toydisk_slots(void);
WEAK int rump_toydisk_speeds(void);
WEAK int rump_tickers(void);
WEAK int rump_vfs_count(void);
WEAK int rump_quirk(int, int);
WEAK int rump_account(int);
WEAK int rump_toynic_sum(void);
WEAK int rump_devsw_count(void);
WEAK int rump_nodes(void);
WEAK int rump_drivers_units(const char *);
WEAK int rump_drivers_makenodes(void);

int rumpuser_init(int version) { return version == 17 ? 0 : 1; }
void rumpuser_putchar(int character) { putchar(character); }
void *rumpuser_malloc(unsigned long size) { return malloc(size); }

#define	SHOW(call)	printf("%s %d\n", #call, call)
#define	SHOW_IF(function, call) do { if (function) SHOW(call); } while (0)

int
main(void)
{

	SHOW(rump_init());
	printf("rump_release() %s\n", rump_release());
	printf("rump_components %d\n", rump_component_count(-1));
	printf("inits %d\n", rump_component_inits());
	printf("domains %d\n", rump_domain_count());
	printf("modules %d\n", rump_module_count());
	for (int type = 0; type < 16; type++)
		printf("type %d %d\n", type, rump_component_count(type));
	SHOW_IF(rump_send, rump_send(5, "abc", 3));
	SHOW_IF(rump_route, rump_route(5));
	SHOW_IF(rump_link_length, rump_link_length());
	SHOW_IF(rump_device_count, rump_device_count());
	SHOW_IF(rump_toydisk_slots, rump_toydisk_slots());
	SHOW_IF(rump_toydisk_speeds, rump_toydisk_speeds());
	SHOW_IF(rump_tickers, rump_tickers());
	SHOW_IF(rump_vfs_count, rump_vfs_count());
	SHOW_IF(rump_quirk, rump_quirk(2, 3));
	SHOW_IF(rump_account, rump_account(5));
	SHOW_IF(rump_toynic_sum, rump_toynic_sum());
	SHOW_IF(rump_devsw_count, rump_devsw_count());
	if (rump_drivers_units) {
		SHOW(rump_nodes());
		SHOW(rump_drivers_units("toynic"));
		SHOW(rump_drivers_units("toynvme"));
		SHOW(rump_drivers_units("toyld"));
		SHOW(rump_drivers_units("toydisk"));
		SHOW(rump_drivers_makenodes());
		printf("nodes later %d\n", rump_nodes());
	}
	return 0;
}
