// SPDX-License-Identifier: Apache-2.0

//go:build programs

// Package conformance pins the validation programs of the OCI project; tools/conformance builds and runs them.
package conformance

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/validation/util"
)
