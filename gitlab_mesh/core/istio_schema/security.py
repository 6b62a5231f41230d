"""Types of ``security``, ``telemetry`` and ``extensions.istio.io``; facts from Istio's API reference (1.31)."""

SECURITY = """
AuthorizationPolicy
  selector: MatchLabels
  targetRef: PolicyTargetReference
  targetRefs: [PolicyTargetReference](..16)
  rules: [Rule](..512)
  action: enum(ALLOW DENY AUDIT CUSTOM)
  provider: ExtensionProviderRef
  ! oneof selector targetRef targetRefs
ExtensionProviderRef
  name: str
Rule
  from: [RuleFrom](..512)
  to: [RuleTo]
  when: [Condition]
RuleFrom
  source: Source
Source
  principals: [str]
  notPrincipals: [str]
  requestPrincipals: [str]
  notRequestPrincipals: [str]
  namespaces: [str]
  notNamespaces: [str]
  ipBlocks: [str]
  notIpBlocks: [str]
  remoteIpBlocks: [str]
  notRemoteIpBlocks: [str]
  trustDomains: [str]
  notTrustDomains: [str]
  serviceAccounts: [str(..320)](..16)
  notServiceAccounts: [str(..320)](..16)
RuleTo
  operation: Operation
Operation
  hosts: [str]
  notHosts: [str]
  ports: [str]
  notPorts: [str]
  methods: [str]
  notMethods: [str]
  paths: [str]
  notPaths: [str]
Condition
  key!: str
  values: [str]
  notValues: [str]
PeerAuthentication
  selector: MatchLabels
  mtls: MutualTLS
  portLevelMtls: {MutualTLS}(1..)
MutualTLS
  mode: enum(UNSET DISABLE PERMISSIVE STRICT)
RequestAuthentication
  selector: MatchLabels
  targetRef: PolicyTargetReference
  targetRefs: [PolicyTargetReference](..16)
  jwtRules: [JWTRule](..4096)
  ! oneof selector targetRef targetRefs
JWTRule
  issuer: str(1..)
  audiences: [str(1..)]
  jwksUri: str(1..2048)
  jwks_uri: str(1..2048)
  jwks: str
  fromHeaders: [JWTHeader]
  fromParams: [str(1..)]
  fromCookies: [str(1..)]
  outputPayloadToHeader: str
  forwardOriginalToken: bool
  outputClaimToHeaders: [ClaimToHeader]
  timeout: dur
  spaceDelimitedClaims: [str(1..)](..64)
  presence: enum(OPTIONAL REQUIRED)
  ! oneof jwksUri jwks_uri jwks
JWTHeader
  name!: str(1..)
  prefix: str
ClaimToHeader
  header!: str(1.. /[-_A-Za-z0-9]+/)
  claim!: str(1..)
Telemetry
  selector: MatchLabels
  targetRef: PolicyTargetReference
  targetRefs: [PolicyTargetReference](..16)
  tracing: [Tracing]
  metrics: [Metrics]
  accessLogging: [AccessLogging]
  ! oneof selector targetRef targetRefs
Tracing
  match: TracingSelector
  providers: [ProviderRef]
  randomSamplingPercentage: num?(0..100)
  disableSpanReporting: bool?
  customTags: {CustomTag}
  enableIstioTags: bool?
  useRequestIdForTraceSampling: bool?
  disableContextPropagation: bool?
TracingSelector
  mode: enum(CLIENT_AND_SERVER CLIENT SERVER)
ProviderRef
  name!: str(1..)
CustomTag
  literal: Literal
  environment: EnvironmentTag
  header: HeaderTag
  formatter: FormatterTag
  ! oneof literal environment header formatter
Literal
  value!: str(1..)
EnvironmentTag
  name!: str(1..)
  defaultValue: str
HeaderTag
  name!: str(1..)
  defaultValue: str
FormatterTag
  value!: str(1..)
Metrics
  providers: [ProviderRef]
  overrides: [MetricsOverrides]
  reportingInterval: dur
MetricsOverrides
  match: MetricSelector
  disabled: bool?
  tagOverrides: {TagOverride}
MetricSelector
  metric: enum(ALL_METRICS REQUEST_COUNT REQUEST_DURATION REQUEST_SIZE RESPONSE_SIZE TCP_OPENED_CONNECTIONS TCP_CLOSED_CONNECTIONS TCP_SENT_BYTES TCP_RECEIVED_BYTES GRPC_REQUEST_MESSAGES GRPC_RESPONSE_MESSAGES)
  customMetric: str(1..)
  mode: enum(CLIENT_AND_SERVER CLIENT SERVER)
  ! oneof metric customMetric
TagOverride
  operation: enum(UPSERT REMOVE)
  value: str
AccessLogging
  match: TracingSelector
  providers: [ProviderRef]
  disabled: bool?
  filter: LogFilter
LogFilter
  expression: str
WasmPlugin
  selector: MatchLabels
  targetRef: PolicyTargetReference
  targetRefs: [PolicyTargetReference](..16)
  url!: str(1..)
  sha256: str(/(^$|^[a-f0-9]{64}$)/)
  imagePullPolicy: enum(UNSPECIFIED_POLICY IfNotPresent Always)
  imagePullSecret: str(1..253)
  verificationKey: str
  pluginConfig: any
  pluginName: str(1..256)
  phase: enum(UNSPECIFIED_PHASE AUTHN AUTHZ STATS)
  priority: int?
  failStrategy: enum(FAIL_CLOSE FAIL_OPEN FAIL_RELOAD)
  vmConfig: VmConfig
  match: [TrafficSelector]
  type: enum(UNSPECIFIED_PLUGIN_TYPE HTTP NETWORK)
  ! oneof selector targetRef targetRefs
VmConfig
  env: [EnvVar](..256 key=name)
EnvVar
  name!: str(1..256)
  valueFrom: enum(INLINE HOST)
  value: str(..2048)
TrafficSelector
  mode: enum(UNDEFINED CLIENT SERVER CLIENT_AND_SERVER)
  ports: [TrafficPort](key=number)
TrafficPort
  number!: int(1..65535)
TrafficExtension
  selector: MatchLabels
  targetRefs: [PolicyTargetReference](..16)
  phase: enum(UNSPECIFIED AUTHN AUTHZ STATS)
  priority: int?
  match: [TrafficSelector]
  wasm: WasmConfig
  lua: LuaConfig
  ! oneof selector targetRefs
  ! one wasm lua
LuaConfig
  inlineCode!: str
WasmConfig
  url!: str(1..)
  sha256: str(/(^$|^[a-f0-9]{64}$)/)
  imagePullPolicy: enum(UNSPECIFIED_POLICY IfNotPresent Always)
  imagePullSecret: str(1..253)
  verificationKey: str
  pluginConfig: any
  pluginName: str(1..256)
  failStrategy: enum(FAIL_CLOSE FAIL_OPEN FAIL_RELOAD)
  vmConfig: VmConfig
  type: enum(UNSPECIFIED_PLUGIN_TYPE HTTP NETWORK)
"""
