/**
 * What programs may import, name by name. A name that is missing here is no promise; one that is here may not go or
 * change its kind without a word in CHANGELOG.md.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

interface Face {
  readonly entry: string;
  readonly values: string;
  /** Types and interfaces only. */
  readonly types: string;
}

const FACES: readonly Face[] = [
  {
    entry: 'queuepair',
    values: `
      REFUSAL_KINDS RdmaError RemoteBuffer StepName connect listDevices listen openDevice reconnecting
    `,
    types: `
      AdmissionLimits AuditEvent AuditListener AuditRecord AuditSubject Authorize CallOptions ClientRates ClientTerms
      CommonOptions ConnectAttempt ConnectOptions Connection ConnectionEvents ConnectionHandler ConnectionPathOptions
      ConnectionQueuePair ConnectionStatistics ConnectionStep ConnectionStream DataPathOptions Device DeviceCensus
      DeviceListEntry Grant GrantOptions LifelineKind ListenOptions Logger LostPackets MemoryRights Message OneSidedOptions
      OpenDeviceOptions OpenStreamOptions PeerIdentity Pem PemSource PlainError QueuePairProgress RateStatistics RdmaErrorCode
      RdmaErrorOptions RdmaFault RefusalKind PlainRejection Rejection SendOptions SendQueue Server ServerAddress ServerCensus ServerEvents ServiceResolver SessionState SlotUse
      StreamOptions StreamReset Throttled ThrottledCounts TlsRefusal TrafficRate WorkerDevice WorkerLoss WorkerStatus
    `,
  },
  {
    entry: 'queuepair/verbs',
    values: `
      AccessFlags PATH_DEFAULTS PATH_MTUS PSN_MASK PortSpace PrivateDataBytes QPN_MASK QpState QpType ROCE_OVERHEAD_BYTES
      RdmaError SendFlags WcFlags WcOpcode WcStatus WorkCompletion WrOpcode activeMtuFor commonMtu
      createCompletions qpStateName qpTypeName statusName toInit toPathMtu toPeerPath toPsn toQKey
      toQpn toRKey toRtr toRts
    `,
    types: `
      AddressHandle AddressVector AsyncEvent CloseOptions CmAddress CmConnectRequest CmDatagramEvent CmDatagramLookup
      CmDatagramRequest CmDatagramService CmEvent CmId CmListenOptions CmListener CmParameters CmPath CmPeerParameters
      CmRequest CmService CompletionChannel CompletionQueue
      CompletionQueueOptions ConnectionManager ConnectionPortSpace Device DeviceAttributes DeviceCensus GidEntry LKey MemoryRegion
      MemoryWindow OwnCmParameters OwnPath PathMtu PlainRejection Rejection PathOptions PeerPath PlainError PortAttributes ProtectionDomain Psn
      QKey QpAttributes QpCapacity QpSnapshot Qpn QueuePair QueuePairEvent QueuePairOptions QueuePairProgress RKey
      RdmaErrorCode RdmaErrorOptions RdmaFault ReceiveWorkRequest RefusalKind SendWorkRequest Sge
      SharedReceiveQueue SharedReceiveQueueOptions WindowBinding
    `,
  },
  {
    entry: 'queuepair/endpoint',
    values: `
      CompletionWaiter openDevice openEndpoint toPeerPath
    `,
    types: `
      Endpoint EndpointOptions MemorySource OpenDeviceOptions PathOptions PeerPath TakeCompletion
      WaitOptions WaiterQueues
    `,
  },
  {
    entry: 'queuepair/cm',
    values: `
      CmConnection CmDatagramIncoming CmDatagramServer CmIncoming CmServer PrivateDataBytes RDMA_UDP_QKEY RejectReason
      connect connectEndpoint listen listenUd openDevice resolveUd
    `,
    types: `
      CmAcceptOptions CmAddress CmConnectOptions CmDatagramAcceptOptions CmDatagramListenOptions CmDatagramRejectOptions CmDatagramService
      CmDepthOptions CmDepths CmDisconnectOptions CmEnding CmListenOptions CmNextOptions CmParameters CmPortSpace CmQueuePair CmRejectOptions
      CmResolveOptions CmServiceOptions ConnectedEndpoint EndpointConnectOptions Rejection
    `,
  },
  {
    entry: 'queuepair/nvme',
    values: `
      connectNvme discoverNvme fileBackend memoryBackend NvmeTarget openDevice serveNvme
    `,
    types: `
      ConnectNvmeOptions DiscoverNvmeOptions DiscoveredSubsystem FileBackend FileBackendOptions MemoryBackendOptions
      NvmeBackend NvmeCallOptions NvmeController NvmeControllerEvents NvmeHost NvmeHostWriteOptions NvmeIdentity NvmeNamespace NvmeReconnectOptions
      NvmeSubsystemOptions NvmeTargetEvents NvmeWriteOptions ServeNvmeOptions
    `,
  },
  {
    entry: 'queuepair/net',
    values: `
      BlockList Server Socket SocketAddress Stream connect createConnection createServer default
      getDefaultAutoSelectFamily getDefaultAutoSelectFamilyAttemptTimeout isIP isIPv4 isIPv6
      setDefaultAutoSelectFamily setDefaultAutoSelectFamilyAttemptTimeout
    `,
    types: `
      AddressInfo ConnectDefaults DropArgument IomapEntry LookupFunction NetError OfferedMemory OnReadOptions PlainConnectOptions PlainOptions RdmaDialect ReadyState RsocketIomap
      ServerEvents ServerListenOptions
      ServerOptions SessionConnectOptions SessionListenOptions SharedSessionOptions SocketConnectOptions SocketOptions
    `,
  },
  {
    entry: 'queuepair/certificates',
    values: `
      defaultCertificateDir devCertificates
    `,
    types: `
      DevCertificatesOptions DevCredentials
    `,
  },
  {
    entry: 'queuepair/observe',
    values: `
      dashboard latencyHistograms serverMetrics traceOperations watch
    `,
    types: `
      AdmittedNote ClosedNote ConnectNote ConnectionNote Dashboard DashboardOptions DiagnosticsMessages ErrorNote LatencyHistograms LatencyOptions MetricsRegister
      OperationKind OperationNote RecoveryNote RefusedNote ServerMetrics ServerMetricsOptions StepNote
      ThrottledNote
    `,
  },
  {
    entry: 'queuepair/roce',
    values: `
      Cq CqArm Datagram DropReason Flow Icrc Nic Opcode OpcodeFlag PacketView Qp ROCE_PORT Region RemoteGrant Srq
      TransmitBatch UdpAddress Window
      dropReasonName formatGid formatIp isIpv4 opcodeFlags opcodeName packetLength parseGid
      parsePacket writePacket
    `,
    types: `
      BindRequest EngineReceive EngineSend EngineSge Handles NicEvent NicOptions QpInit RandomU32
    `,
  },
];

const words = (list: string): string[] => list.split(/\s+/).filter((word) => word !== '');

/** The names that the declarations of an entry export as types only. */
async function typesOf(entry: string): Promise<string[]> {
  const path = fileURLToPath(import.meta.resolve(entry)).replace(/\.js$/, '.d.ts');
  const text = (await readFile(path, 'utf8')).replace(/\/\*[\s\S]*?\*\//g, '');
  const statements = [...text.matchAll(/export (type )?\{([^}]*)\} from '[^']+';/g)];
  assert.equal(
    statements.map(([all]) => all).join('\n').length,
    text.replace(/^\/\/.*$/gm, '').trim().length,
    text,
  );
  return statements.flatMap(([, onlyTypes, names = '']) =>
    names
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '' && (onlyTypes !== undefined || name.startsWith('type ')))
      .map((name) => name.replace(/^type /, '')),
  );
}

for (const { entry, values, types } of FACES) {
  test(`${entry} exports exactly what is promised`, async () => {
    const module = (await import(entry)) as Record<string, unknown>;
    assert.deepEqual(Object.keys(module).sort(), words(values).sort(), 'values');
    assert.deepEqual((await typesOf(entry)).sort(), words(types).sort(), 'types');
  });
}

test('the insides of a server and a connection cannot be made or changed from outside', async () => {
  const module = (await import('queuepair')) as Record<string, unknown>;
  for (const name of ['Connection', 'Server', 'Grant', 'Slots']) assert.equal(module[name], undefined, name);
});
