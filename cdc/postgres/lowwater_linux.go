package postgres

import "syscall"

// setLowWater sets how much must have arrived before the socket counts as readable (SO_RCVLOWAT of socket(7)). A read takes
// what there is all the same.
func setLowWater(fd uintptr, least int) {
	syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, least)
}
