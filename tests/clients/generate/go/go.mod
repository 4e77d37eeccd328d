module github.com/tenantry/tenantry-go

go 1.25.0

require (
	google.golang.org/genproto/googleapis/api v0.0.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)
