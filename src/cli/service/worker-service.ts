/** The message service in a worker of `serve --workers`. */
import { messageService } from './message-service.js';

export default messageService();
