import { createFileRegistry, type DescFile, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { FILE_DESCRIPTOR_SET } from '../../proto/gen/descriptors.js';
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from '../../proto/gen/grpc/reflection/v1/reflection.js';
import type { Duplex } from './call.js';
import type { Deps } from './deps.js';

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/** Server reflection over the descriptors that were made with the code; v1 and v1alpha have the same shape. */
export class Reflection {
  readonly #registry = createFileRegistry(
    fromBinary(FileDescriptorSetSchema, Buffer.from(FILE_DESCRIPTOR_SET, 'base64')),
  );
  readonly #services: readonly string[];

  /** `services`: full names of what the server offers. */
  constructor(services: readonly string[]) {
    this.#services = [...services].sort();
  }

  readonly serve = (_deps: Deps, duplex: Duplex<ServerReflectionRequest, ServerReflectionResponse>): void => {
    duplex.onDrain(() => duplex.resume());
    duplex.listen(
      (request) => {
        const answer = {
          validHost: request.host,
          originalRequest: request,
          messageResponse: this.#answer(request),
        };
        if (!duplex.send(answer)) duplex.pause();
      },
      () => duplex.end(),
    );
  };

  #answer(request: ServerReflectionRequest): Answer {
    const asked = request.messageRequest;
    switch (asked?.$case) {
      case 'listServices':
        return {
          $case: 'listServicesResponse',
          value: { service: this.#services.map((name) => ({ name })) },
        };
      case 'fileByFilename':
        return this.#file(this.#registry.getFile(asked.value), asked.value);
      case 'fileContainingSymbol':
        return this.#file(this.#fileOf(asked.value), asked.value);
      case 'allExtensionNumbersOfType':
        if (this.#registry.getMessage(asked.value) === undefined) return notFound(asked.value);
        return {
          $case: 'allExtensionNumbersResponse',
          value: { baseTypeName: asked.value, extensionNumber: [] },
        };
      case 'fileContainingExtension':
        return notFound(`an extension of ${asked.value.containingType}`);
      case undefined:
        return {
          $case: 'errorResponse',
          value: { errorCode: status.INVALID_ARGUMENT, errorMessage: 'message_request is required' },
        };
    }
  }

  /** Of a type or service, or of a member of one. */
  #fileOf(symbol: string): DescFile | undefined {
    const owner = symbol.slice(0, Math.max(0, symbol.lastIndexOf('.')));
    const found = this.#registry.get(symbol) ?? this.#registry.get(owner);
    return found?.kind === 'extension' ? undefined : found?.file;
  }

  /** The file and all that it needs. */
  #file(file: DescFile | undefined, asked: string): Answer {
    if (file === undefined) return notFound(asked);
    const needed = new Set<DescFile>();
    const add = (one: DescFile) => {
      if (needed.has(one)) return;
      needed.add(one);
      one.dependencies.forEach(add);
    };
    add(file);
    const fileDescriptorProto = [...needed].map((one) => toBinary(FileDescriptorProtoSchema, one.proto));
    return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
  }
}

function notFound(what: string): Answer {
  return {
    $case: 'errorResponse',
    value: { errorCode: status.NOT_FOUND, errorMessage: `${what} is not known here` },
  };
}
