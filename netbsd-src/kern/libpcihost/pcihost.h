/*
 * What the sources of this component share.
 */

#ifndef PCIHOST_H_
#define	PCIHOST_H_

/* How many devices are being attached or detached; changes with the kernel locked. */
extern volatile int pcihost_attaching;

#endif /* PCIHOST_H_ */
