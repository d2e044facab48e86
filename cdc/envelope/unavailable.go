package envelope

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strings"
)

// What is written for a large value that the update did not touch, that Postgres therefore did not log, and whose old
// row is not known either. Debezium's words, so that its readers know them.
const unavailable = "__debezium_unavailable_value"

// The placeholder as JSON, for each form that a value can have.
var (
	unavailableText         = `"` + unavailable + `"`
	unavailableBytes        = `"` + base64.StdEncoding.EncodeToString([]byte(unavailable)) + `"`
	unavailableHstore       = `"{\"` + unavailable + `\":\"` + unavailable + `\"}"`
	unavailableNumbers      = codes(unavailable)
	unavailableSparseVector = `{"dimensions":0,"vector":{}}`
	unavailableUUID         = `"` + nameUUID(unavailable) + `"`
)

// codes lists the ASCII codes of text, for arrays of numbers.
func codes(text string) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]byte(text)), " ", ","), "[]")
}

// nameUUID returns the UUID that Java's UUID.nameUUIDFromBytes makes: version 3, without a name space.
func nameUUID(text string) string {
	sum := md5.Sum([]byte(text))
	sum[6] = sum[6]&0x0f | 0x30
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:])
}
